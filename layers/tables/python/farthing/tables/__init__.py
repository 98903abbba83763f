"""Users' files as columns of text: CSV, TSV, JSON lines and Parquet, read in bounded chunks."""
