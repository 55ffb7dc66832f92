"""The project's own measurements. Absolute figures move with the machine; ratios within one run count."""
