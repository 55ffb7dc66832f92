"""The demo: starts everything for real, plays customers, and then looks whether all that was promised holds."""
