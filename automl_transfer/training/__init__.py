"""The torch behind the search: features, freezing, the training of one configuration."""
