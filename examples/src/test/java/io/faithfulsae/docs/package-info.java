/** Tests of the documentation. */
@NullMarked
package io.faithfulsae.docs;

import org.jspecify.annotations.NullMarked;
