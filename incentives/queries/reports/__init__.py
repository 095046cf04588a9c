"""What the records show when they are looked at together. Every figure is a query over records, never a counter."""
