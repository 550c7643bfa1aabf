"""A run in three phases: features, classifier, fine-tuning.

The first two end with the checkpoint of step 0: the pretrained network with a
classifier fitted to its features. The third is an ordinary training that starts there,
so that it resumes, stops and rolls back as any. In the end the latest checkpoint has
the weights that were better on the validation split.
"""

import os
from collections.abc import Callable
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np

from estimator_clf.checkpoints.best import (
    best_checkpoint,
    copy_checkpoint,
)
from estimator_clf.checkpoints.listing import latest_checkpoint
from estimator_clf.config.config import Config
from estimator_clf.config.model_options import network_options
from estimator_clf.evaluation.eval_sets import make_eval_sets
from estimator_clf.evaluation.plots.factory import make_eval_callbacks
from estimator_clf.evaluation.run_evaluations import Evaluations
from estimator_clf.hooks.nan_guard import NonFiniteError
from estimator_clf.loggers import (
    summary_protos,
    tensorboard_hparams,
    tensorboard_writer,
)
from estimator_clf.training.feature_cache import FeatureCache
from estimator_clf.training.trainer import Trainer
from estimator_clf.training.transfer import checkpoints, classifier, defaults, selection
from estimator_clf.training.transfer.records import PhaseRecords

#: Directory of the checkpoint before fine-tuning, in the model_dir.
FROZEN = 'frozen'

# The features of mirrored images make the classifier better and take twice the time.
_MIRRORED_BELOW = 5000

# Labels of the messages.
_FEATURES, _CLASSIFIER, _FINE_TUNING = (
    'transfer 1/3, features',
    'transfer 2/3, classifier',
    'transfer 3/3, fine-tuning',
)


class TransferTrainer(Trainer):
    """The stages of a run with `transfer`.

    Attributes:
      selection: the split that chooses; '' without one.
    """

    selection: str

    def _resolve_auto(self) -> Config:
        resolved = defaults.resolve(self.config, self.source)
        self.config, self.selection = resolved.config, resolved.selection or ''
        self._callback.on_message(resolved.message)
        return super()._resolve_auto()

    def _summary(self):
        *lines, batches = super()._summary()
        if self.config.transfer.fine_tune == 'none':
            return lines  # There are no steps.
        return [*lines, batches]

    def build_model(self, make_model_fn: Callable) -> None:
        """Builds the model_fn, and the one whose backbone is frozen."""
        super().build_model(make_model_fn)
        self._frozen_config = self.config.replace(
            train_only=defaults.CLASSIFIER, freeze='', lr_multipliers=''
        )
        self._frozen_model_fn = make_model_fn(
            self._frozen_config, self.info, self.plan.total_steps, 1.0
        )
        self._layer = classifier.layer_of(
            self._frozen_model_fn, self._train_input, network_options(self.config)
        )

    def initialize_weights(self) -> None:
        """Prepares initial weights and the cache of features."""
        super().initialize_weights()
        self._backbone_cache = FeatureCache(
            self._frozen_config.replace(augment=''),
            self.source,
            self._frozen_model_fn,
            self._init_hook,
            self._warm_start,
            self._callback.on_message,
            self._stop,
            _FEATURES,
        )

    def start_or_resume(self) -> None:
        """Also reads which phases are done."""
        super().start_or_resume()
        self._records = PhaseRecords(self.config.run.model_dir)
        if not self._latest_checkpoint():
            self._records.clear()
        self._records.publish()

    # -- Phases ------------------------------------------------------------------------

    def train(self) -> None:
        """Runs the phases that are not done yet."""
        if not self._latest_checkpoint():
            # There is nothing to save: a signal ends these phases at once.
            with self._stop.raise_immediately():
                self._fit_classifier()
        tunes = self.config.transfer.fine_tune != 'none'
        if self.last_step() == 0:
            self._evaluate_frozen(only_selection=tunes)
        if not tunes:
            writer = tensorboard_writer.event_writer(self.config.run.model_dir)
            is_regression = not self.info.class_names
            tensorboard_hparams.write_start(writer, self.config, 0, is_regression)
            return
        if self._stop:
            return
        if not self._records.get('fine_tuning'):
            self._callback.on_message(
                f'{_FINE_TUNING}: {self.config.transfer.fine_tune}, at most '
                f'{self.plan.total_steps} steps of '
                f'{self.config.optimization.batch_size} images'
            )
            super().train()
            if self._stop:
                return
            self._records.add('fine_tuning', **self._compare())
        self._keep_better()

    def _train_from_checkpoint(self):
        try:
            return super()._train_from_checkpoint()
        except NonFiniteError as error:
            if self._rollback.allowed():
                raise
            # There is a result without fine-tuning.
            self._callback.on_message(f'{_FINE_TUNING}: stopped, because {error}')

    def _fit_classifier(self):
        """Phases 1 and 2: ends with the checkpoint of step 0."""
        config = self.config
        size = self.source.num_examples[config.data.train_split]
        variants = 2 if size <= _MIRRORED_BELOW else 1
        training = self._examples(config.data.train_split, variants)
        validation = self._examples(self.selection, 1) if self.selection else None
        self._records.add(
            'features',
            examples={
                config.data.train_split: len(training.labels),
                **({self.selection: len(validation.labels)} if validation else {}),
            },
            variants=variants,
            numbers=training.x.shape[-1],
        )
        fitted = classifier.fit_and_choose(
            training,
            self._layer.num_classes,
            validation=validation,
            l2=config.transfer.classifier_l2,
            class_weights=_class_weights(self._frozen_model_fn),
            seed=config.run.seed,
        )
        self._callback.on_message(f'{_CLASSIFIER}: {fitted.summary()}')
        self._log_classifier(fitted)
        self._records.add('classifier', **fitted.facts())
        hooks = [self._init_hook, self._warm_start, self._layer.hook(fitted)]
        checkpoints.write_initial(
            self.model_fn,
            self._train_input,
            [hook for hook in hooks if hook],
            config.run.model_dir,
        )
        # The checkpoint has their values, and those of the classifier.
        self._init_hook = self._warm_start = None

    def _examples(self, split, variants):
        found = self._backbone_cache.feature_set(split, variants)
        return self._layer.examples(found.features, found.labels)

    def _log_classifier(self, fitted):
        if any(line['split'] == 'classifier' for line in self._log.read()):
            return  # By a run that was killed right after it.
        scalars = fitted.scalars()
        self._log.write(0, 'classifier', scalars)
        writer = tensorboard_writer.event_writer(self.config.run.model_dir)
        tags = {f'classifier/{name}': value for name, value in scalars.items()}
        tensorboard_writer.write_scalars(writer, 0, tags)
        writer.add_summary(
            summary_protos.text('classifier/regularization', fitted.table()), 0
        )
        writer.flush()

    def _evaluate_frozen(self, only_selection):
        """Evaluates the checkpoint of step 0, by the cached features if possible."""
        model_dir = self.config.run.model_dir
        checkpoint = self._latest_checkpoint()
        sets = make_eval_sets(
            self._frozen_config,
            self.source,
            self.plan,
            self._open_directory,
            self if self._can_use_features() else None,
        )
        if only_selection:
            sets = [known for known in sets if known.name == self.selection]
        evaluations = Evaluations(
            self._frozen_model_fn,
            sets,
            model_dir,
            self._log,
            self._on_evaluation,
            self._stop,
            lambda known: make_eval_callbacks(
                self.config, self.info.class_names, known
            ),
        )
        self._closers.append(evaluations.close)
        if not only_selection:
            self._evaluations = evaluations  # `evaluate` runs all of them, once.
            return
        found = evaluations.evaluate_remaining(checkpoint, 0)
        frozen = os.path.join(model_dir, FROZEN)
        if not latest_checkpoint(os.path.join(frozen, '0')):
            os.makedirs(frozen, exist_ok=True)
            copy_checkpoint(checkpoint, 0, frozen)
        if self.selection in found:
            self._selection.save_if_best(checkpoint, 0, found[self.selection])

    def _can_use_features(self):
        evaluation = self.config.evaluation
        return evaluation.eval_samples == 1 and evaluation.eval_tta in ('', 'none')

    def evaluation_input(self, input_fn: Callable, split: str) -> Callable:
        """Adds features to the images of a split that has some; see `FeatureCache`."""
        if split != self.selection:
            return input_fn
        return self._backbone_cache.evaluation_input(input_fn, split)

    def _compare(self) -> dict[str, Any]:
        """Compares fine-tuning with the classifier alone; returns the facts."""
        results = self._evaluations.results(self.selection)
        return selection.compare(results, self._selection.goal, self.last_step())

    def _keep_better(self):
        """Makes the better weights those of the latest checkpoint."""
        facts = self._records.get('fine_tuning')
        kept, final = facts['kept_step'], facts['final_step']
        self._callback.on_message(f'{_FINE_TUNING}: {selection.summary(facts)}')
        model_dir = self.config.run.model_dir
        if self.last_step() < final:
            source = latest_checkpoint(os.path.join(model_dir, FROZEN, '0'))
            if kept:
                source = best_checkpoint(model_dir)
            checkpoints.copy_as_step(source, model_dir, final)
        results = self._evaluations.results(self.selection)
        if final not in results:
            self._evaluations.record(final, self.selection, results[kept])


def _class_weights(model_fn: Any) -> np.ndarray | None:
    weights = model_fn.context.head.class_weights
    return None if weights is None else np.asarray(weights, np.float64)
