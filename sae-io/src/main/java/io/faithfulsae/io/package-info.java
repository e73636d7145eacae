/**
 * Files: safetensors, JSON with a checksum, atomically written files, and locks on output folders.
 */
@NullMarked
package io.faithfulsae.io;

import org.jspecify.annotations.NullMarked;
