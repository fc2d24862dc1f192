"""Pictures, animations, the report page and the model card."""
