"""How many series a second the forecaster does, in how much memory."""
