"""Trackers of experiments: wandb, trackio, mlflow."""
