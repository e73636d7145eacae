/** Tests of files, and what the tests of all modules share. */
@NullMarked
package io.faithfulsae.io;

import org.jspecify.annotations.NullMarked;
