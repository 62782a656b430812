"""`convert` and `to_keras`: recurrent layers of `keras.layers` become those of this package, and back."""
