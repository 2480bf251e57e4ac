"""The forecaster's weights, made from synthetic series alone."""
