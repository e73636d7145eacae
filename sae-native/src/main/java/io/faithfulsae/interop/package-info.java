/** Memory and streams of a device, shared with other programs that use it. */
@NullMarked
package io.faithfulsae.interop;

import org.jspecify.annotations.NullMarked;
