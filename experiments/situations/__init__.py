"""Made-up series of kinds that go wrong in practice, next to the best simple method for each."""
