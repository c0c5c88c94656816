"""A small transformer, made here and not fetched, reads of scikit-learn's digits with Hugging Face's Trainer.

python examples/frameworks/huggingface_digits.py
"""

import torch
from sklearn.datasets import load_digits
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import trainwire
from trainwire.adapters.huggingface import TrainwireCallback

images, labels = load_digits(return_X_y=True)
# A pixel is a word: 0 to 16.
rows = [
    {"input_ids": torch.tensor(image, dtype=torch.long), "labels": int(label)}
    for image, label in zip(images[:512], labels[:512], strict=True)
]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}

for task in trainwire.tasks(params={"learning_rate": 0.01}, max_epochs=3):
    with task:
        callback = TrainwireCallback()
        trainer = Trainer(
            BertForSequenceClassification(BertConfig(vocab_size=17, num_labels=10, **SIZES)),
            TrainingArguments(
                output_dir=str(task.workdir),
                num_train_epochs=task.max_epochs,
                per_device_train_batch_size=64,
                logging_strategy="epoch",
                save_strategy="epoch",
                save_total_limit=2,
                report_to=[],
                use_cpu=True,
                disable_tqdm=True,
                **task.params,
            ),
            train_dataset=rows,
            callbacks=[callback],
        )
        done = trainer.train(resume_from_checkpoint=callback.resume_path)
        task.finish(loss=done.training_loss)
