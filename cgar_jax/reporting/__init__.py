"""Reports on runs and models: pictures, animations, the report page, tables and the model card.

Functions take a model, metrics or results as arguments; `cgar_jax.load` and the commands load them.
"""
