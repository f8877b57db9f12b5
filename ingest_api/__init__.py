"""The door: parses what clients send, makes it durable, and answers with a receipt."""
