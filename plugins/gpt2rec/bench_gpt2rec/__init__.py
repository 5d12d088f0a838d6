"""The GPT-2 recommender: texts of users and items, read by a language model and fused with ids, as a plugin."""
