"""What can be done with a trained model: evaluate it, show it images, hand it on."""
