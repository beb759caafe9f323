"""edgernn: small recurrent nets from training to microcontrollers, the same bits everywhere."""

__version__ = "0.1.0"
