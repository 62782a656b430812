"""Export to the JSON files of audio plugins: Neural Amp Modeler and RTNeural."""
