"""From recordings and voices to one prepared dataset, and from its clips to augmented ones and to streams."""
