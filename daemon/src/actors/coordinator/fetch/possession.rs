//! What a look's owner is asked to prove: before its look is fetched, a sample of what is large, so that what is here
//! anyway need not travel; after it, the whole of what did not come from it, so that it may be lent.

use super::{Coordinator, Plan};
use crate::{
    actors::peer,
    pumps::{
        blocking,
        plan::{self, PlanError},
    },
};
use actix::{AsyncContext, Context, WrapFuture};
use fyteclub_proto::{
    id::{PeerId, PlayerName},
    possession::Span,
};
use std::{future::Future, sync::Arc};

impl Coordinator {
    /// Checks a look that came, has its owner prove what is large of it, and says what is to be fetched.
    pub(super) fn plan(
        &self,
        owner: PeerId,
        name: PlayerName,
        document: Vec<u8>,
        room: plan::Room,
    ) -> impl Future<Output = Result<Plan, PlanError>> + 'static {
        let (store, actor) = (self.store().clone(), self.tell(&owner).cloned());
        async move {
            let reading = store.clone();
            let draft = blocking(move || plan::draft(&reading, &document, &owner, &name)).await?;
            let blobs = draft.questions().to_vec();
            let answers = match actor.filter(|_| !blobs.is_empty()) {
                // Without an answer everything is fetched.
                Some(actor) => {
                    actor.send(peer::AskPossession { span: Span::Sample, blobs }).await.ok().flatten()
                }
                None => None,
            };
            blocking(move || draft.settle(&store, room, answers)).await
        }
    }

    /// Has the owner prove the rest of a look that is here whole, one request after the other. What is not answered is
    /// not lent, and nothing else.
    pub(super) fn ask_possession(&self, plan: Arc<Plan>, ctx: &mut Context<Self>) {
        let Some(actor) = self.tell(&plan.owner).cloned() else { return };
        let store = self.store().clone();
        let proving = async move {
            let (unproven, owner) = (store.clone(), plan.owner);
            for blobs in blocking(move || plan.unproven(&unproven)).await {
                let asked = actor.send(peer::AskPossession { span: Span::Whole, blobs });
                let Ok(Some(answers)) = asked.await else { return };
                let store = store.clone();
                blocking(move || {
                    let proven: Vec<_> = answers.proven(&store).map(|content| content.hash).collect();
                    store.came_from(&owner, proven);
                })
                .await;
            }
        };
        ctx.spawn(proving.into_actor(self));
    }
}
