"""Transfer learning in one run: features, classifier, fine-tuning."""
