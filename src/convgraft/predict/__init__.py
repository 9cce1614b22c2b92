"""Images in, answers out: one way to ask a run or an exported model, and thousands of files."""

from convgraft.predict.classifier import Classifier, open_classifier
from convgraft.predict.pipeline import Answers, answer_files

__all__ = ["Answers", "Classifier", "answer_files", "open_classifier"]
