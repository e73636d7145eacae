/** Tests for files, and helpers shared by the tests of all modules. */
@NullMarked
package io.faithfulsae.io;

import org.jspecify.annotations.NullMarked;
