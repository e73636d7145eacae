/** The study: data sets, SAEs, comparisons and the report, in resumable steps. */
@NullMarked
package io.faithfulsae.study;

import org.jspecify.annotations.NullMarked;
