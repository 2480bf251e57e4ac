"""How the work of a layer is arranged; the equations stand elsewhere, once."""
