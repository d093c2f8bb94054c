"""What of mlflow is about generative AI: traces and their ingest, assessments, scorers, evaluation datasets, labels, reviews and issues."""
