"""New copies by another route for recipients who were reported undelivered."""
