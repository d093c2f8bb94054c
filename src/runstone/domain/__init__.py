"""What the product means, and the only place where rules live."""
