/** Tests of what the documents say. */
@NullMarked
package io.faithfulsae.docs;

import org.jspecify.annotations.NullMarked;
