"""An LSTM against simple forecasts of the airline and the sunspot series."""
