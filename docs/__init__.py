"""Pages of the documentation, and the program that builds the site from them."""
