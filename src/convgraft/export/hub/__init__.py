"""Runs as folders of the Hugging Face Hub: what is sent, what is fetched, and its checks."""
