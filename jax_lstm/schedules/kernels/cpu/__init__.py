"""The plain LSTM in C++ for the CPU: one call forward and one backward, for the whole loop over time."""
