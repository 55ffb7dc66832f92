"""The worker: parts that do one thing each, on one event loop, and the runner that wires them."""
