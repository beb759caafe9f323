"use strict"; const edgernn = {kinds: {}, begin() {}};
