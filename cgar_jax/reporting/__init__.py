"""Reports on runs and models: pictures, animations, the report page, tables and the model card.

Functions take what they show (a model, metrics, results); loading is left to `cgar_jax.load` and to
the commands.
"""
