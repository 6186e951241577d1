"""The repairs that Homewright can do by itself: safe, repeatable, and each says what it did."""
