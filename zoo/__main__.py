"""`python -m deeprnn_keras.zoo` writes the zoo's page, README.md beside this file, anew."""

from deeprnn_keras.zoo.table import README, write_page

write_page()
print(f"written: {README}")
