/** Device memory and streams shared with other programs on the same device. */
@NullMarked
package io.faithfulsae.interop;

import org.jspecify.annotations.NullMarked;
