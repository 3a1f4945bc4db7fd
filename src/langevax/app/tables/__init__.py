"""Reading of tables: files, kinds of columns, targets, curves and schemas."""
