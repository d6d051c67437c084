"""Images drawn from a trained model."""
