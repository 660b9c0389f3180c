"""A server that speaks the published code's test-time-training protocol: JSON over ZeroMQ, one fine-tune and one examination a request."""
