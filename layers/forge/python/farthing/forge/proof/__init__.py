"""Whether other processors give a bundle's answers too: run there, or under an emulator."""
