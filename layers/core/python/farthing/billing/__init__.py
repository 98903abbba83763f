"""Usage into money: price books, the meter, shared time."""
