"""`python -m deeprnn_keras.cli` is `deeprnn`."""

from deeprnn_keras.cli.main import main

if __name__ == "__main__":
    main()
