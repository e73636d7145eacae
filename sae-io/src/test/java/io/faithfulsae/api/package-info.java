/** Tests of what the modules offer to their users. */
@NullMarked
package io.faithfulsae.api;

import org.jspecify.annotations.NullMarked;
