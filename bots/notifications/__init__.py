"""Telling owners what happened: channels, and the delivery of the outbox by webhook and e-mail."""
