"""Before the run: what will it cost, and how large should it be?"""
