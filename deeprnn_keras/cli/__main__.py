"""Entry point of `python -m deeprnn_keras.cli`, which is the command `deeprnn`."""

from deeprnn_keras.cli.main import main

if __name__ == "__main__":
    main()
